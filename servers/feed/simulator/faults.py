"""How a simulated source may behave instead of well."""

from enum import StrEnum


class Behaviour(StrEnum):
    WELL = "well"
    # Takes the connection and the question, and says nothing.
    HANGS = "hangs"
    CLOSES = "closes"
    GARBAGE = "garbage"
    WRONG_SHAPE = "wrong shape"
    HUGE_NUMBER = "huge number"
    NOT_A_NUMBER = "not a number"
    HUGE_BODY = "huge body"
    AHEAD = "ahead"
    LIMITED = "limited"
    BROKEN = "broken"


# What the bodies of the two that lie say in place of a price.
LIES = {Behaviour.HUGE_NUMBER: "1e400", Behaviour.NOT_A_NUMBER: "NaN"}
AHEAD_S = 3600
