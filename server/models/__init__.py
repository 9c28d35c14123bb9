"""The list of tables: Tortoise and the migrations read this and nothing else."""

from server.models.accounts import AccessToken, Account, Attempt, FeedToken, Session, SignInLink
from server.models.actors import Actor, ActorKey, Follow, Peer
from server.models.audit import AuditEntry
from server.models.deliveries import Delivery, Event, Job, Receipt
from server.models.links import Link, LinkIncident, Passport
from server.models.mails import Mailbox, ReplyAddress
from server.models.origins import FormerOrigin
from server.models.policies import BreakGlass, Guardrail, OwnChoice, PolicyChange, PolicyVersion
from server.models.polls import Poll, PollOption, Vote
from server.models.posts import (
    Attachment,
    HeldPost,
    Mention,
    Notice,
    Post,
    PostVersion,
    Reaction,
    SearchRow,
    Withdrawal,
)
from server.models.recalls import Purge, PurgePart, Recall, RecallPart, RecallTarget
from server.models.spaces import Membership, Space, SpacePartner
from server.models.streams import Stream

__all__ = [
    "AccessToken",
    "Account",
    "Actor",
    "ActorKey",
    "Attachment",
    "Attempt",
    "AuditEntry",
    "BreakGlass",
    "Delivery",
    "Event",
    "FeedToken",
    "Follow",
    "FormerOrigin",
    "Guardrail",
    "HeldPost",
    "Job",
    "Link",
    "LinkIncident",
    "Mailbox",
    "Membership",
    "Mention",
    "Notice",
    "OwnChoice",
    "Passport",
    "Peer",
    "PolicyChange",
    "PolicyVersion",
    "Poll",
    "PollOption",
    "Post",
    "PostVersion",
    "Purge",
    "PurgePart",
    "Reaction",
    "Recall",
    "RecallPart",
    "RecallTarget",
    "Receipt",
    "ReplyAddress",
    "SearchRow",
    "Session",
    "SignInLink",
    "Space",
    "SpacePartner",
    "Stream",
    "Vote",
    "Withdrawal",
]
