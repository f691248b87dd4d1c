"""The case that everybody is given: a refund that a person confirms, and a receipt for it.

The model is asked twice. First it calls the tool, which waits for a yes; then,
with the tool's result, it says that it is done. A function makes the receipt,
and ends the run.
"""

from __future__ import annotations

WORKFLOW = "Refund"
ORDER = "A-10429"
AMOUNT = 120
QUESTION = (
    f"The customer of order {ORDER} writes: the kettle that you sent me leaks, it has done so "
    f"from the first day, and I would like to have the {AMOUNT} euros back that I paid for it. "
    "Please look at the order, refund it if we can, and tell the customer what was done."
)
REFUNDED = f"Refunded {AMOUNT} euros for order {ORDER}; the bank needs two working days for it."
ANSWER = "The refund is on its way, and should arrive within two working days."
RECEIPT = f"Receipt: {ANSWER}"


def refund_text(order: str, amount: int) -> str:
    """What the tool gives."""
    return f"Refunded {amount} euros for order {order}; the bank needs two working days for it."


def receipt_text(answer: object) -> str:
    """What the function step gives."""
    return f"Receipt: {answer}"
