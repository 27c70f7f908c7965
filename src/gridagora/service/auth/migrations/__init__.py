"""Steps from one version of the tables to the next; `gridagora.service.auth.schema` runs them."""
