"""The victim's tokens by method: as of a second factor shown just now where the access option demands a fresh authentication.

Servers look at the credential before the message. Whoever lacks what the option demands is told that, and never what is wrong
with the message.
"""

import time
from collections.abc import Callable

import jwt
import psycopg

from db.sealing import Place, Sealer
from servers.auth.keys import key_files, read_key
from servers.embedded.addresses import postgres_url
from servers.embedded.state import State
from servers.transport.identity import ALGORITHM, TYPE
from tests.e2e.launching import Venue
from tests.e2e.mutations import STRONG
from tests.e2e.probe import Victim

# From a method without `venue.` to an access token.
TokenFor = Callable[[str], str]
KNOWN = """
    INSERT INTO kyc_submissions (kyc_submission_id, user_id, level, details, risk_score, findings, request_id, fingerprint,
        state, decider, decide_time)
    SELECT %s, %s, 2, %s, 0, '{}'::text[], '', decode('01', 'hex'), 'APPROVED', user_id,
        now() FROM users WHERE email = 'admin@venue.local'"""


def tokens_for(venue: Venue, victim: Victim) -> TokenFor:
    """Makes the victim known to the venue, too, which some methods demand besides."""
    claims = jwt.decode(victim.person.token, options={"verify_signature": False})
    address = postgres_url(State(venue.state).secret("postgres"), venue.port("POSTGRES"))
    submission = f"kyc-{claims['sub']}"
    # A true envelope: whoever goes through all of them finds this one too.
    keys = (venue.state / "secrets" / "field-keys").read_text
    details = Sealer(keys).seal(Place("kyc_submissions", "details", submission), b"{}")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(KNOWN, (submission, claims["sub"], details))
    folder = venue.state / "secrets"
    key = read_key(folder / key_files(folder)[-1])

    def token_for(method: str) -> str:
        if method not in STRONG:
            return victim.person.token
        fresh = claims | {"amr": ["pwd", "otp"], "auth_time": int(time.time())}
        return jwt.encode(fresh, key.private, ALGORITHM, headers={"kid": key.kid, "typ": TYPE})

    return token_for
