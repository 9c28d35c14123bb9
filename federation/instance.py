"""This instance towards others: its settings, its addresses, its one door out."""

from dataclasses import dataclass

from federation.transport import Transport
from server.ids import Addresses
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class Instance:
    """What the federation needs of its own instance; made once at start and handed down."""

    settings: Settings
    here: Addresses
    transport: Transport

    @property
    def federates(self) -> bool:
        return self.settings.federation != "off"

    @property
    def open(self) -> bool:
        """Whether instances without a link may speak with us."""
        return self.settings.federation == "open"


def instance_of(settings: Settings) -> Instance:
    """The instance of these settings, with its transport. Close the transport when done."""
    here = Addresses(settings.base_url)
    transport = Transport(
        user_agent=f"Parvis/0.1 (+{here.base})",
        allow_private_networks=settings.allow_private_networks,
        ca_file=settings.ca_file,
    )
    return Instance(settings, here, transport)
