"""Double entry in whole micro-units: accounts, postings and the rules that must always hold."""

from gridagora.ledger.accounts import SYSTEM_ACCOUNTS, account_name
from gridagora.ledger.journal import Postings, check_postings, join, post, post_all

__all__ = ["SYSTEM_ACCOUNTS", "Postings", "account_name", "check_postings", "join", "post", "post_all"]
