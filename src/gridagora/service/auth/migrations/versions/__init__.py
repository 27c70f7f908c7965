"""One module per step.  A step is never edited: it tells what was."""
