"""Invoices from settlement lines; bills, what their pages say, and payment files."""

from gridagora.billing.bills import Bill, BillLine, MonthSums, Terms, carry_over, month_bills, month_lines
from gridagora.billing.invoices import invoice_lines
from gridagora.billing.parties import Party, bic_error, iban_error
from gridagora.billing.sepa import CreditTransfer, pain_001, payment_code, transfer_faults

__all__ = [
    "Bill",
    "BillLine",
    "CreditTransfer",
    "MonthSums",
    "Party",
    "Terms",
    "bic_error",
    "carry_over",
    "iban_error",
    "invoice_lines",
    "month_bills",
    "month_lines",
    "pain_001",
    "payment_code",
    "transfer_faults",
]
