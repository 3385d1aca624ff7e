"""Networks and data with known faults, and healthy ones: what every rule of the doctor is calibrated on.

Each case is a row with a known answer. `skipline diagnose zoo:NAME digits` examines one.
"""

from skipline.diagnosis.zoo.case import RECIPE, Case
from skipline.diagnosis.zoo.faults import FAULTS
from skipline.diagnosis.zoo.healthy import HEALTHY
from skipline.errors import UnknownNameError

__all__ = ["FAULTS", "HEALTHY", "RECIPE", "Case", "case"]


def case(name: str) -> Case:
    """The row of a name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    table = {row.name: row for row in (*FAULTS, *HEALTHY)}
    if name not in table:
        raise UnknownNameError("case of the zoo", name, table)
    return table[name]
