"""What the admin room refuses."""

from servers.domain.errors import Forbidden, NotFound, Refused


class UserNotFound(NotFound):
    """No such user."""

    reason = "USER_NOT_FOUND"

    def __init__(self, user_id: str) -> None:
        super().__init__("user not found", user_id=user_id)


class PendingActionNotFound(NotFound):
    """No such pending action."""

    reason = "PENDING_ACTION_NOT_FOUND"

    def __init__(self, pending_action_id: str) -> None:
        super().__init__("pending action not found", pending_action_id=pending_action_id)


class PendingActionDecided(Refused):
    """It was approved or rejected before."""

    reason = "PENDING_ACTION_DECIDED"

    def __init__(self, pending_action_id: str, state: str) -> None:
        super().__init__("the pending action is decided already", pending_action_id=pending_action_id, state=state)


class PendingActionExpired(Refused):
    """Nobody decided in time."""

    reason = "PENDING_ACTION_EXPIRED"

    def __init__(self, pending_action_id: str) -> None:
        super().__init__("the pending action has expired: propose it again", pending_action_id=pending_action_id)


class SecondPersonNeeded(Forbidden):
    """Somebody else has to approve; `why` is PROPOSER, SUBJECT or PROMOTED."""

    reason = "SECOND_PERSON_NEEDED"

    def __init__(self, why: str) -> None:
        super().__init__("somebody else has to approve this", why=why)


class NothingToChange(Refused):
    """It is so already."""

    reason = "NOTHING_TO_CHANGE"

    def __init__(self, what: str) -> None:
        super().__init__("it is so already", what=what)


class PartitionNotFound(NotFound):
    """No such partition."""

    reason = "PARTITION_NOT_FOUND"

    def __init__(self, partition: int) -> None:
        super().__init__("no such partition", partition=str(partition))


class AlertNotFound(NotFound):
    """No such alert."""

    reason = "ALERT_NOT_FOUND"

    def __init__(self, alert_id: str) -> None:
        super().__init__("alert not found", alert_id=alert_id)


class AlertClosed(Refused):
    """It was dealt with before."""

    reason = "ALERT_CLOSED"

    def __init__(self, alert_id: str) -> None:
        super().__init__("the alert is closed", alert_id=alert_id)


class OwnAlert(Forbidden):
    """Nobody decides on an alert about himself."""

    reason = "OWN_ALERT"

    def __init__(self) -> None:
        super().__init__("somebody else has to look at it")
