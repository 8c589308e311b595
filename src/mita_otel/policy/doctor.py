"""The section of a policy that says what `mita-otel doctor` finds fault with."""

from typing import Annotated

from mita_otel.policy.fields import Bounds, Seconds
from mita_otel.policy.section import Section


class DoctorPolicy(Section):
    """What `mita-otel doctor` finds fault with."""

    timeout_s: Annotated[float, Bounds(gt=0, le=300)]
    """Seconds that a host may take to answer. A look that has no end after twice as many is given up, and that is said."""
    slow_s: Seconds
    """Seconds to the first byte of Sentry's answer that are slow."""
    max_skew_s: Seconds
    """Seconds between this machine's clock and that of a server which are a fault. An answer tells whole seconds."""
    min_free_megabytes: Annotated[float, Bounds(ge=0)]
    """Room on a spool's disk below which somebody should look."""
    max_waiting_s: Annotated[float, Bounds(gt=0, le=604_800)]
    """Seconds for which what mobile apps sent may wait on the disk before somebody should look."""
