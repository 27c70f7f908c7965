"""Steps from one version of the tables to the next; `gridagora.adapters.sql.schema` runs them."""
