"""Events in a database: their bytes, tables, the store that writes them, and who checks what is stored."""
