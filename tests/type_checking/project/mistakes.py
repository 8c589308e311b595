"""Each marked line is a mistake that a type checker must report: no public type is `Any`."""

from __future__ import annotations

from decimal import Decimal

from mita_otel import (
    UserContext,
    capture_financial_error,
    financial_operation_monitor,
    financial_transaction_context,
    monitor_financial_operation,
    set_financial_user,
)


@financial_operation_monitor("process_payment")
def process_payment(user_id: str, amount: Decimal) -> int:
    return len(user_id)


process_payment(5, Decimal(1))  # mistake
process_payment("u-1")  # mistake
result: str = process_payment("u-1", Decimal(1))  # mistake
capture_financial_error("no exception")  # mistake
number: int = capture_financial_error(ValueError())  # mistake
capture_financial_error(ValueError(), amount=[1])  # mistake
set_financial_user(UserContext())  # mistake
UserContext("u-1", nickname="ada")  # mistake
financial_transaction_context(operaton="pay")  # mistake
financial_operation_monitor(operation_name=5)  # mistake
with monitor_financial_operation("pay") as operation:
    operation.set_dat("a", 1)  # mistake
