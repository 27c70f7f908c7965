"""The resources of the API, one router each; a new one is added to ``ROUTERS``."""

from gridagora.service.api import audit, clients, jobs, me, oauth, organisations, users

ROUTERS = (oauth.api, me.api, organisations.api, users.api, clients.api, audit.api, jobs.api)
