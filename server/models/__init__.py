"""The list of tables: Tortoise and the migrations read this and nothing else."""

from server.models.accounts import AccessToken, Account, Attempt, Session, SignInLink
from server.models.actors import Actor, ActorKey, Follow, Peer
from server.models.audit import AuditEntry
from server.models.deliveries import Delivery, Event, Job, Receipt
from server.models.links import Link
from server.models.posts import Attachment, Mention, Notice, Post, PostVersion, Reaction, SearchRow
from server.models.spaces import Membership, Space, SpacePartner

__all__ = [
    "AccessToken",
    "Account",
    "Actor",
    "ActorKey",
    "Attachment",
    "Attempt",
    "AuditEntry",
    "Delivery",
    "Event",
    "Follow",
    "Job",
    "Link",
    "Membership",
    "Mention",
    "Notice",
    "Peer",
    "Post",
    "PostVersion",
    "Reaction",
    "Receipt",
    "SearchRow",
    "Session",
    "SignInLink",
    "Space",
    "SpacePartner",
]
