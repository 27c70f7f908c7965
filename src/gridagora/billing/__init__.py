"""Invoices from settlement lines."""

from gridagora.billing.invoices import invoice_lines

__all__ = ["invoice_lines"]
