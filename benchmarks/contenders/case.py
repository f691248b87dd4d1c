"""The case that everybody is given: a refund that a person confirms, and a receipt for it.

The model is asked twice. First it calls the tool, which waits for a yes; then,
with the tool's result, it says that it is done. A function makes the receipt,
and ends the run. Tool and function are coroutines everywhere, so that nobody
has to keep a thread for them.
"""

from __future__ import annotations

WORKFLOW = "Refund"
GATED_STEP = "GatedStep"
PREPARED = "PreparedRefund"
ORDER = "A-10429"
AMOUNT = 120
QUESTION = (
    f"The customer of order {ORDER} writes: the kettle that you sent me leaks, it has done so "
    f"from the first day, and I would like to have the {AMOUNT} euros back that I paid for it. "
    "Please look at the order, refund it if we can, and tell the customer what was done."
)
ANSWER = "The refund is on its way, and should arrive within two working days."
RECEIPT = f"Receipt: {ANSWER}"


def refund_text(order: str, amount: int) -> str:
    """What the tool gives."""
    return f"Refunded {amount} euros for order {order}; the bank needs two working days for it."


REFUNDED = refund_text(ORDER, AMOUNT)


def answer_to(result: object) -> str:
    """What the model says when it is given the tool's result; whatever else it is given, no."""
    return ANSWER if result == REFUNDED else f"That is no refund: {result!r}"


def receipt_text(answer: object) -> str:
    """What the function step gives."""
    return f"Receipt: {answer}"
