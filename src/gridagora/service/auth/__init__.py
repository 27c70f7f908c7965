"""Who asks, and what they may do: organisations, people, machines, tokens, rights and the audit log."""
