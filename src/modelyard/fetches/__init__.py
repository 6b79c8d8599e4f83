"""Model files that the server fetches from other servers.

    sources      what people write → a source: a version of Civitai, a file of a hub, an address
    offers       a source → where its file is, its hash and size, and what its server says of the model
    refusals     what another server refuses → words that a user can act on
    fetches      the fetches of a store: asked for, listed, cancelled
    fetcher      does one fetch: receives the file, continues it after every interruption, and checks it
    hash_thread  hashes what is received, beside the thread that receives it
    mirror       which listed versions have no file here, the most popular first

A fetch is a row, an upload and a job with one id. When the bytes are here, the upload is verified as every other one.
"""

from modelyard.fetches.fetcher import Fetcher
from modelyard.fetches.fetches import Fetches
from modelyard.fetches.mirror import Selection, choose_versions
from modelyard.fetches.offers import Hosts

__all__ = ["Fetcher", "Fetches", "Hosts", "Selection", "choose_versions"]
