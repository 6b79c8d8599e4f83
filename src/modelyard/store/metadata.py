"""What all tables share: where they are registered, how their constraints are named, and the type of ids."""

from sqlalchemy import BigInteger, Integer, MetaData

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite keeps a table in the order of an `INTEGER PRIMARY KEY`, and of no other spelling; its INTEGER has 64 bits.
ID = BigInteger().with_variant(Integer, "sqlite")
