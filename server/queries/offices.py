"""Questions about the instance itself, which only those who look after it may ask."""

from server.errors import Forbidden, Unauthenticated
from server.openness import Office
from server.refusals import N_
from server.viewer import Anonymous, Employee, Operator, Viewer

ADMINISTRATORS_ONLY = N_("Seuls les administrateurs de cette instance voient cette page.")


def demand_administrator(viewer: Viewer) -> None:
    """Goes on for an administrator with a whole session or at the command line. Raises Unauthenticated or
    Forbidden.
    """
    if isinstance(viewer, Operator) or (isinstance(viewer, Employee) and viewer.is_admin and viewer.scopes is None):
        return
    raise Unauthenticated() if isinstance(viewer, Anonymous) else Forbidden(ADMINISTRATORS_ONLY)


def demand_overseer(viewer: Viewer) -> None:
    """The same for those who may look on: auditors too."""
    if isinstance(viewer, Employee) and viewer.office is Office.AUDITOR and viewer.scopes is None:
        return
    demand_administrator(viewer)
