"""API keys whose calls are signed: by a secret that is kept encrypted, or by a private key that the venue never sees."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE api_keys
    ADD COLUMN signing    text  NOT NULL DEFAULT 'NONE' CHECK (signing IN ('NONE', 'HMAC_SHA256', 'ED25519')),
    ADD COLUMN secret     bytea CHECK (get_byte(secret, 0) = 1),
    ADD COLUMN public_key bytea CHECK (octet_length(public_key) = 32),
    ALTER COLUMN secret_hash DROP NOT NULL,
    ADD CONSTRAINT api_keys_one_proof CHECK (
        (secret_hash IS NOT NULL) = (signing = 'NONE')
        AND (secret IS NOT NULL) = (signing = 'HMAC_SHA256')
        AND (public_key IS NOT NULL) = (signing = 'ED25519')
    );
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
