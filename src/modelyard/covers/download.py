"""Downloads of pictures from untrusted addresses, through the guard of all requests to other servers."""

from modelyard.covers.renderer import BYTES_MAX
from modelyard.outbound import Limits, Outbound

# For one picture, also if its host sends it slowly.
SECONDS_MAX = 60.0


def fetch(address: str, outbound: Outbound, seconds_max: float = SECONDS_MAX) -> bytes:
    """Return the body that an address answers with, up to the largest size of a picture.

    Raises TemporaryFailure for temporary failures, DownloadFailed, AddressRefused or TooLarge for others.
    """
    headers = {"Accept": "image/webp,image/avif,image/*"}
    with outbound.open(address, headers=headers, limits=Limits(seconds_max=seconds_max)) as answer:
        answer.refuse_status(200)
        return answer.read_all(BYTES_MAX, "the picture")
