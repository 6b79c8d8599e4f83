"""What the commands print for a small home, as whole transcripts: every line, number and exit code.

Not covered here: how they behave as processes (test_cli.py), and output that is not UTF-8 (test_output.py).
"""

import contextlib
import json
import os
from pathlib import Path

import pytest

from modelyard.store import jobs, open_store
from tests.cli.transcript import replay
from tests.inspection.made_files import state_dict_pickle, write_safetensors, write_torch_zip
from tests.scan_fixture import embedding

HARBOUR = {
    "id": 7,
    "name": "Harbour Lights",
    "type": "LORA",
    "nsfw": False,
    "tags": ["harbour", "night", "style"],
    "description": "<p>Made at sea.</p><p>Use it at night.</p>",
    "allowCommercialUse": ["Image"],
    "creator": {"username": "ada"},
    "modelVersions": [
        {
            "id": 77,
            "name": "v2",
            "baseModel": "SDXL 1.0",
            "baseModelType": "Standard",
            "publishedAt": "2023-07-01T08:09:10.000Z",
            "trainedWords": ["harbour lights", "at dusk"],
            "stats": {"downloadCount": 1234},
            "images": [{"url": "https://image.civitai.com/77.jpeg", "nsfw": "None", "type": "image"}],
            "files": [
                {
                    "id": 770,
                    "name": "harbourLights_v2.safetensors",
                    "sizeKB": 223242.1875,
                    "type": "Model",
                    "primary": True,
                    "metadata": {"fp": "fp16", "size": "pruned", "format": "SafeTensor"},
                    "hashes": {"AutoV1": "0123ABCD", "AutoV2": "ABABABABAB", "SHA256": "AB" * 32, "CRC32": "89ABCDEF"},
                }
            ],
        },
        {"id": 78, "name": "v1", "baseModel": "SD 1.5", "files": [{"id": 780, "name": "old.pt", "type": "Model"}]},
        {"id": 79, "name": "v0", "baseModel": "SD 1.5", "files": []},
    ],
}
UNET = {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": ("F16", [8, 320, 1, 1]),
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": ("F16", [320, 8, 1, 1]),
    "lora_unet_down_blocks_0_attentions_0_proj_in.alpha": ("F16", []),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": ("F16", [8, 768]),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight": ("F16", [320, 8]),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.alpha": ("F16", []),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: models, two of them the same, a broken one and a text; and records of Civitai."""
    for name in os.environ:
        if name.startswith(("MODELYARD_", "CIVITAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    models = tmp_path / "models"
    embedding(models / "word.safetensors", metadata={"modelspec.title": "Word"})
    embedding(models / "copy" / "word again.safetensors", metadata={"modelspec.title": "Word"})
    metadata = {"ss_network_module": "networks.lora", "ss_base_model_version": "sd_v1", "ss_output_name": "night"}
    (models / "loras").mkdir()
    write_safetensors(models / "loras" / "night.safetensors", UNET, metadata)
    broken = embedding(models / "broken.safetensors", 1)
    broken.write_bytes(broken.read_bytes()[:-10])
    (tmp_path / "pickles").mkdir()
    (tmp_path / "pickles" / "evil.pt").write_bytes(b"cos\nsystem\n(S'id'\ntR.")
    content = state_dict_pickle({"emb_params": ("F32", [1, 768])})
    write_torch_zip(tmp_path / "pickles" / "word.pt", content)
    (models / "README.md").write_text("# Hello\n")
    (models / "gone.safetensors").symlink_to("/nowhere/gone.safetensors")
    (tmp_path / "records.jsonl").write_text(json.dumps(HARBOUR) + "\nnothing\n" + json.dumps({"id": 9}) + "\n")
    return tmp_path


def add_jobs(folder: Path) -> None:
    """Put jobs into the home: one that waits, one that runs, one that failed, one given up, and periodic ones."""
    (folder / "home").mkdir(mode=0o700)
    store = open_store(f"sqlite:///{folder}/home/modelyard.sqlite")
    with contextlib.closing(store), store.transaction() as transaction:
        connection, now = transaction.connection, transaction.now - 7_200
        for subject in ("one", "two", "three", "four"):
            jobs.add(connection, jobs.CHECK, subject, now, team="red" if subject == "one" else "")
        one, two, three = (jobs.take(connection, jobs.CHECK, "node", now, 10**6) for _ in range(3))
        assert one
        assert two
        assert three
        jobs.bury(connection, one, "cannot be read", now=now + 60)
        jobs.postpone(connection, two, "storage is away", now + 14_400, now=now + 120)
        for kind in ("cleanup", "matching"):
            jobs.add(connection, kind, "", now)
            job = jobs.take(connection, kind, "node", now, 60)
            assert job
            jobs.rest(connection, job, now + 60, now + 90_000 if kind == "cleanup" else jobs.NEVER)
    # A command closes a home that others can read, and says so.
    for path in (folder / "home").iterdir():
        path.chmod(0o600)


TRANSCRIPTS = {
    "files": """
$ modelyard add models --dry-run
files                                             number
found                                                  4
unchanged                                              0
added (dry run)                                        3
broken or dangerous (dry run)                          1
skipped: dangling link: its target is not there        1
! skipped: ~/models/gone.safetensors: dangling link: its target is not there: /nowhere/gone.safetensors
! not usable: ~/models/broken.safetensors: tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header
[1]
$ modelyard add models
files                                             number
found                                                  4
unchanged                                              0
added                                                  2
added to a model that was in the catalogue             1
broken or dangerous                                    1
skipped: dangling link: its target is not there        1
duplicates        model   bytes   file
same bytes   1000000001   3,208   ~/models/copy/word again.safetensors
same bytes   1000000001   3,208   ~/models/word.safetensors
! skipped: ~/models/gone.safetensors: dangling link: its target is not there: /nowhere/gone.safetensors
! not usable: ~/models/broken.safetensors: tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header
[1]
$ modelyard add models
files                                             number
found                                                  4
unchanged                                              4
skipped: dangling link: its target is not there        1
! skipped: ~/models/gone.safetensors: dangling link: its target is not there: /nowhere/gone.safetensors
! not usable: ~/models/broken.safetensors: tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header
[1]
$ modelyard search
        id   name in API          type                base model   version         size   downloads   status        tags
1000000002   night                Lora                SD 1.5       night        28.6 kB           0   available
1000000001   word again           Textual Inversion   SD 1.5       word again    3.2 kB           0   available
1000000000   broken.safetensors   Unknown                          broken        3.1 kB           0   unavailable
$ modelyard search --team red night --types lora --json
{
  "models": [
    {
      "id": 1000000002,
      "name": "night",
      "hash_sha256": "A84BD381A0",
      "sd_name": "night.safetensors",
      "type": {
        "name": "lora",
        "display_name": "Lora"
      },
      "categories": [],
      "status": 1,
      "tags": [],
      "cover_url": "",
      "source": "uploading",
      "base_model": "SD 1.5",
      "base_model_type": "",
      "download_url_ttl": 86400,
      "sd_name_in_api": "night",
      "is_sdxl": false,
      "is_nsfw": false,
      "visibility": "public"
    }
  ],
  "pagination": {
    "next_cursor": ""
  }
}
$ modelyard search --facets
field         value              models
all                                   3
types         lora                    1
types         textualinversion        1
types         unknown                 1
sources       uploading               3
base_models   sd 1.5                  2
base_models                           1
$ modelyard search --facets --json
{
  "total": 3,
  "types": [
    {
      "name": "lora",
      "count": 1
    },
    {
      "name": "textualinversion",
      "count": 1
    },
    {
      "name": "unknown",
      "count": 1
    }
  ],
  "sources": [
    {
      "name": "uploading",
      "count": 3
    }
  ],
  "base_models": [
    {
      "name": "sd 1.5",
      "count": 2
    },
    {
      "name": "",
      "count": 1
    }
  ],
  "tags": []
}
$ modelyard search --duplicates
duplicates        model   bytes   file
same bytes   1000000001   3,208   ~/models/copy/word again.safetensors
same bytes   1000000001   3,208   ~/models/word.safetensors
$ modelyard search --duplicates --json
[
  {
    "same": "bytes",
    "hash": "351dd41ddf8d915c0f442364abc599d0e8aa01b9fa30f21a854e0877503c6d45",
    "files": [
      {
        "path": "~/models/copy/word again.safetensors",
        "model": 1000000001,
        "size_bytes": 3208
      },
      {
        "path": "~/models/word.safetensors",
        "model": 1000000001,
        "size_bytes": 3208
      }
    ]
  }
]
$ modelyard search --limit 1
        id   name in API   type   base model   version      size   downloads   status      tags
1000000002   night         Lora   SD 1.5       night     28.6 kB           0   available
! more: --cursor c_WzAsIjEwMDAwMDAwMDIiXQ==
$ modelyard search nothing
! no model matches
$ modelyard search --visibility private
! modelyard search: --visibility private needs --team: private models belong to a team; see `modelyard search --help`
[2]
$ modelyard inspect models/loras/night.safetensors
night.safetensors: lora, probably for SD 1.5
what                  found
format                safetensors
verdict               clean: a sound safetensors frame
size                  28,628 bytes
type                  lora (99%)
base model            SD 1.5 (85%); the file alone cannot tell SD 1.5, SD 1.4 apart
architecture          sd1 (85%)
dialect               kohya (85%)
precision             fp16 (99%)
why this type         2 layers: alpha, down, up; low-rank factors of linear layers
why this base model   layers: 100% of 2 layers are sd1's; SD 1.4 has these too
parameters            13,826
sha256                A84BD381A09A3D70DF7C8E179034ED333956CF574EA9A58FF324C5C710B27C57
autov2                A84BD381A0
autov3                3F2406CD0B7F9D35A47B8AC7D40F30C31A35ECF8B051881725681369737DDA03
blake3                B65BA90C0EB978B3C2E53D286C7C7BB47783042E2C0B16BA36722342E3EF698E
crc32                 83ACDE2C
$ modelyard inspect models/word.safetensors --json
{
  "format": "safetensors",
  "verdict": "clean",
  "reason": "a sound safetensors frame",
  "size_bytes": 3208,
  "hashes": {
    "sha256": "351DD41DDF8D915C0F442364ABC599D0E8AA01B9FA30F21A854E0877503C6D45",
    "autov1": null,
    "autov2": "351DD41DDF",
    "autov3": "E80232B4D18D0BB7E794BE263BA937626F383F9917D4B8A737BA893A8F752293",
    "blake3": "A227A0B0C035FE0CBB32677A2DBFF5A7CA63D9637E538D22945B8C6BE7EAE4D9",
    "crc32": "F6249A50"
  },
  "type": {
    "value": "textualinversion",
    "confidence": 0.99,
    "evidence": [
      {
        "rule": "embedding-768",
        "source": "tensor",
        "name": "emb_params",
        "value": "F16 [2, 768]"
      }
    ]
  },
  "base_model": {
    "value": "SD 1.5",
    "confidence": 0.85,
    "evidence": [
      {
        "rule": "embedding-768",
        "source": "tensor",
        "name": "emb_params",
        "value": "F16 [2, 768]"
      }
    ],
    "candidates": [
      "SD 1.5",
      "SD 1.4"
    ]
  },
  "base_model_type": {
    "value": "unknown",
    "confidence": 0.0,
    "evidence": []
  },
  "architecture": {
    "value": "sd1",
    "confidence": 0.99,
    "evidence": [
      {
        "rule": "embedding-768",
        "source": "tensor",
        "name": "emb_params",
        "value": "F16 [2, 768]"
      }
    ]
  },
  "dialect": {
    "value": "unknown",
    "confidence": 0.0,
    "evidence": []
  },
  "part": {
    "value": "unknown",
    "confidence": 0.0,
    "evidence": []
  },
  "precision": {
    "value": "fp16",
    "confidence": 0.99,
    "evidence": [
      {
        "rule": "dtypes",
        "source": "tensor",
        "name": "1 tensors",
        "value": "100.0% F16"
      }
    ]
  },
  "parameters": 1536,
  "trigger_words": [],
  "metadata": {
    "modelspec.title": "Word"
  },
  "imports": [],
  "also": []
}
$ modelyard inspect models/broken.safetensors --no-hash
broken.safetensors: not a sound model file
what      found
format    safetensors
verdict   error: tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header
size      3,150 bytes
! modelyard: models/broken.safetensors: tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header
[1]
$ modelyard inspect models/README.md
README.md: not a sound model file
what      found
format    text
verdict   error: this is text, not a model
size      8 bytes
sha256    90F8EC5669CD34183B9B0FDF8B94F5EFB4C3672876330F4AA76088C2B4AD17BE
autov2    90F8EC5669
blake3    32503F22D41B57AACDE1E73EDEF5D2E6207269161D0F93187C7BAAB2DEFAC344
crc32     5D3217F5
! modelyard: models/README.md: this is text, not a model
[1]
$ modelyard inspect models/nothing
! modelyard: models/nothing: No such file or directory
[1]
$ modelyard explain night
1000000002  night.safetensors  public, no team, available
fact         value                                                                                  said by
name         night                                                                                  guess
sd_name      night.safetensors                                                                      guess
type         Lora                                                                                   header
             Lora                                                                                   guess     not used
base_model   SD 1.5                                                                                 header
hashes       autov3 3F2406CD0B7F9D35A47B8AC7D40F30C31A35ECF8B051881725681369737DDA03                header
             sha256 A84BD381A09A3D70DF7C8E179034ED333956CF574EA9A58FF324C5C710B27C57                header
             blake3 B65BA90C0EB978B3C2E53D286C7C7BB47783042E2C0B16BA36722342E3EF698E                header
             crc32 83ACDE2C                                                                         header
             autov2 A84BD381A0                                                                      header
file_name    night.safetensors                                                                      guess
size_bytes   28628                                                                                  header
evidence     clean: a sound safetensors frame                                                       header
             type lora: adapter: 2 layers: alpha, down, up (low-rank factors of linear layers)      header
             base model SD 1.5: layout: layers: 100% of 2 layers are sd1's (SD 1.4 has these too)   header
             base model SD 1.5: kohya: ss_base_model_version: sd_v1 (agrees)                        header
             it lies in a folder called 'loras'                                                     guess     not used
file: ~/models/loras/night.safetensors (present)
$ modelyard explain word
! modelyard: no model 'word'
[1]
$ modelyard explain broken --json
{
  "id": 1000000000,
  "name": "broken",
  "sd_name": "broken.safetensors",
  "status": 0,
  "facts": {
    "name": {
      "value": "broken",
      "layer": "guess"
    },
    "sd_name": {
      "value": "broken.safetensors",
      "layer": "guess"
    },
    "hashes": {
      "value": {
        "autov1": null,
        "autov3": "C90A6C4C0DEB2D1D3633700B7A444631AB7DEA7B6F461C4E75E3DFBD21F1CAF0",
        "sha256": "69C4701B66A4BF85193D871C1B9F3C53012E6E987AF7FFB2B53A5BE85C0388E4",
        "blake3": "71AEB77CB1866E2E0E553D47366B6E42616308781E6A29ECEFFD144D43F74D6F",
        "crc32": "E8D250E5",
        "autov2": "69C4701B66"
      },
      "layer": "header"
    },
    "file_name": {
      "value": "broken.safetensors",
      "layer": "guess"
    },
    "size_bytes": {
      "value": 3150,
      "layer": "header"
    },
    "evidence": {
      "value": [
        "error: tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header"
      ],
      "layer": "header"
    }
  },
  "layers": {
    "header": {
      "hashes": {
        "autov1": null,
        "autov3": "C90A6C4C0DEB2D1D3633700B7A444631AB7DEA7B6F461C4E75E3DFBD21F1CAF0",
        "sha256": "69C4701B66A4BF85193D871C1B9F3C53012E6E987AF7FFB2B53A5BE85C0388E4",
        "blake3": "71AEB77CB1866E2E0E553D47366B6E42616308781E6A29ECEFFD144D43F74D6F",
        "crc32": "E8D250E5",
        "autov2": "69C4701B66"
      },
      "size_bytes": 3150,
      "evidence": [
        "error: tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header"
      ]
    },
    "guess": {
      "name": "broken",
      "sd_name": "broken.safetensors",
      "file_name": "broken.safetensors"
    }
  },
  "files": [
    {
      "path": "~/models/broken.safetensors",
      "state": "broken",
      "reason": "tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header",
      "sha256": "69c4701b66a4bf85193d871c1b9f3c53012e6e987af7ffb2b53a5be85c0388e4"
    }
  ]
}
$ modelyard explain nothing
! modelyard: no model 'nothing'
[1]
$ modelyard export sidecars --format a1111 models
sidecars   number
written         4
$ modelyard export sidecars --format a1111 models
sidecars    number
unchanged        4
$ modelyard export sidecars --format civitai-info models/loras --json
{
  "written": 1,
  "unchanged": 0,
  "foreign": 0,
  "unknown": 0,
  "failed": 0
}
$ modelyard export sidecars --format civitai-info models/copy --force
sidecars   number
written         1
$ modelyard verify
part                    result
database                no damage
SEGMENT   no damage
$ modelyard verify --json
[
  {
    "part": "database",
    "problem": ""
  },
  {
    "part": "SEGMENT",
    "problem": ""
  }
]
""",
    "pickles": """
$ modelyard inspect pickles/evil.pt
evil.pt: not a sound model file
what      found
format    pickle
verdict   dangerous: imports os.system, which runs code; imports os.system, says picklescan
size      21 bytes
sha256    8CC73CEECC3FB6787129F6639C5171A97FAE9256E36D20D1CA7E4916AEE299A4
autov2    8CC73CEECC
blake3    7DF6F206A09E28D46D07ED9221110139F3DB761FAF1B2A29222D71017EDA4C20
crc32     27B845BE
imports   os.system
! modelyard: pickles/evil.pt: imports os.system, which runs code; imports os.system, says picklescan
[1]
$ modelyard inspect pickles/word.pt --no-hash
word.pt: textualinversion, probably for SD 1.5
what           found
format         torch zip
verdict        clean: no known bad import in the pickle; that is not a promise that loading it is safe
size           432 bytes
type           textualinversion (99%)
base model     SD 1.5 (85%); the file alone cannot tell SD 1.5, SD 1.4 apart
architecture   sd1 (99%)
precision      fp32 (99%)
why            emb_params: F32 [1, 768]
parameters     768
imports        collections.OrderedDict, torch.FloatStorage, torch._utils._rebuild_tensor_v2
$ modelyard inspect pickles/word.pt --no-hash --json
{
  "format": "torch zip",
  "verdict": "clean",
  "reason": "no known bad import in the pickle; that is not a promise that loading it is safe",
  "size_bytes": 432,
  "hashes": null,
  "type": {
    "value": "textualinversion",
    "confidence": 0.99,
    "evidence": [
      {
        "rule": "embedding-768",
        "source": "tensor",
        "name": "emb_params",
        "value": "F32 [1, 768]"
      }
    ]
  },
  "base_model": {
    "value": "SD 1.5",
    "confidence": 0.85,
    "evidence": [
      {
        "rule": "embedding-768",
        "source": "tensor",
        "name": "emb_params",
        "value": "F32 [1, 768]"
      }
    ],
    "candidates": [
      "SD 1.5",
      "SD 1.4"
    ]
  },
  "base_model_type": {
    "value": "unknown",
    "confidence": 0.0,
    "evidence": []
  },
  "architecture": {
    "value": "sd1",
    "confidence": 0.99,
    "evidence": [
      {
        "rule": "embedding-768",
        "source": "tensor",
        "name": "emb_params",
        "value": "F32 [1, 768]"
      }
    ]
  },
  "dialect": {
    "value": "unknown",
    "confidence": 0.0,
    "evidence": []
  },
  "part": {
    "value": "unknown",
    "confidence": 0.0,
    "evidence": []
  },
  "precision": {
    "value": "fp32",
    "confidence": 0.99,
    "evidence": [
      {
        "rule": "dtypes",
        "source": "tensor",
        "name": "1 tensors",
        "value": "100.0% F32"
      }
    ]
  },
  "parameters": 768,
  "trigger_words": [],
  "metadata": {},
  "imports": [
    "collections.OrderedDict",
    "torch.FloatStorage",
    "torch._utils._rebuild_tensor_v2"
  ],
  "also": []
}
$ modelyard add pickles
files                 number
found                      2
unchanged                  0
added                      1
broken or dangerous        1
! not usable: ~/pickles/evil.pt: imports os.system, which runs code; imports os.system, says picklescan
[1]
$ modelyard search
        id   name in API   type                base model   version        size   downloads   status        tags
1000000001   word          Textual Inversion   SD 1.5       word      432 bytes           0   available
1000000000   evil.pt       Unknown                          evil       21 bytes           0   unavailable
""",
    "mistakes": """
$ modelyard
! Usage: modelyard [OPTIONS] COMMAND [ARGS]...
!   A catalogue of generative-image models that answers GET /v3/model.
! Options:
!   --version         Show the version and exit.
!   --home DIRECTORY  The folder with all data of this installation.  [env:
!                     MODELYARD_HOME]
!   -q, --quiet       Write results and errors only, no remarks and no progress.
!   -h, --help        Show this message and exit.
! Commands:
!   serve        Run the server, with the API and the pages.
!   import       Import models from the records of other catalogues.
!   add          Add model files where they lie.
!   search       Search the catalogue from the terminal.
!   resolve      List the models that a workflow or a picture needs.
!   show         Show everything that is known of a model.
!   explain      Show every fact of a model, and its source.
!   fetch        Get model files from Civitai, a hub or addresses.
!   mirror       Get the files of listed versions that are not here.
!   edit         Change what the owner says of a model.
!   rm           Remove models from the catalogue.
!   link         Make a file one of an imported version's files.
!   unlink       Make a file a model of its own again.
!   inspect      Show what a model file is, with the evidence.
!   export       Write what the catalogue knows, for other programs.
!   pull         Download models' files from a server.
!   send         Have a generator fetch models' files from a server.
!   follow       Print what changes at a server.
!   mcp          Answer a program with a language model.
!   push         Upload models' files to a server.
!   login        Keep the address of a server and a key for it.
!   logout       Forget the address and the key.
!   verify       Check the index and the database for damage.
!   reindex      Build the index again from the database.
!   jobs         List background jobs, and run failed jobs again.
!   gc           Remove files that no model needs any more.
!   database     Copy the database to another one.
!   backup       Write a backup of the database, and of the files.
!   restore      Restore the database from a backup.
!   key          Create, list and revoke API keys.
!   audit        List who changed what.
!   webhook      Create, test and delete webhooks of teams.
!   signing-key  Change the secret that signs download links.
!   completion   Write the script of completions for a shell.
!   Environment: MODELYARD_HOME is the home folder. MODELYARD_URL and
!   MODELYARD_KEY are the server and the key of pull and push.
!   Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interruption.
!   Example: modelyard serve --demo
[2]
$ modelyard --version
modelyard, version 0.1.0
$ modelyard fly
! modelyard: No such command 'fly'; see `modelyard --help`
[2]
$ modelyard push --name x --key k models/word.safetensors models/broken.safetensors
! modelyard push: --name and --title are for one file; see `modelyard push --help`
[2]
$ modelyard push models/word.safetensors
! modelyard push: give --key or MODELYARD_KEY, or run `modelyard login`: an upload needs a key with the scope write; see `modelyard push --help`
[2]
$ modelyard push --type fly --key k models/word.safetensors
! modelyard push: Invalid value for '--type': 'fly' is not one of 'checkpoint', 'lora', 'vae', 'controlnet', 'upscaler', 'textualinversion', 'locon', 'dora', 'hypernetwork', 'aestheticgradient', 'motionmodule', 'poses', 'wildcards', 'workflows', 'detection', 'textencoder', 'unet', 'clip', 'clipvision', 'ipadapter', 't2iadapter', 'other'; see `modelyard push --help`
[2]
$ modelyard push --url ftp://x --key k models/word.safetensors
! modelyard push: Invalid value for '--url': 'ftp://x' is not accepted; accepted: HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT]; see `modelyard push --help`
[2]
$ modelyard push --url http:// --key k models/word.safetensors
! modelyard push: Invalid value for '--url': 'http://' is not accepted; accepted: HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT]; see `modelyard push --help`
[2]
$ modelyard pull 1 --url http://
! modelyard pull: Invalid value for '--url': 'http://' is not accepted; accepted: HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT]; see `modelyard pull --help`
[2]
$ modelyard import civitai --fetch records.jsonl
! modelyard import civitai: give paths to read, or --fetch; see `modelyard import civitai --help`
[2]
$ modelyard import civitai --fetch --address http://x:port
! modelyard import civitai: Invalid value for '--address': 'http://x:port' is not accepted; accepted: HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT]; see `modelyard import civitai --help`
[2]
$ modelyard import civitai records.jsonl --no-nsfw
! modelyard import civitai: --types, --base-model, --query, --nsfw, --limit, --restart and --address need --fetch; see `modelyard import civitai --help`
[2]
$ modelyard search --base-model ""
! no model matches
$ modelyard search ""
! no model matches
$ modelyard search --limit 0 night
! modelyard: --limit: '0' is not accepted; accepted: an integer from 1 to 100
[2]
$ modelyard search --team "a b"
! modelyard: --team: 'a b' is not accepted; accepted: up to 63 of a-z, 0-9, '-', '_', beginning with a-z or 0-9
[2]
$ modelyard key revoke sk
! modelyard: no key 'sk'; accepted: an id, the beginning that `modelyard key list` shows (4 to 7 characters), or the whole key
[1]
$ modelyard key create --team red --expires 1x
! modelyard key create: Invalid value for '--expires': '1x' is not a duration; accepted: a number and a unit (s, m, h, d, w or y), such as 90d; see `modelyard key create --help`
[2]
$ modelyard key create
! modelyard key create: Missing option '--team'; see `modelyard key create --help`
[2]
$ modelyard jobs retry 0
! modelyard jobs retry: Invalid value for 'ID…': '0' is not accepted; accepted: a whole number of 1 or more; see `modelyard jobs retry --help`
[2]
$ modelyard serve --port 70000
! modelyard serve: Invalid value for '--port': '70000' is not accepted; accepted: a whole number from 0 to 65535; see `modelyard serve --help`
[2]
$ modelyard verify
part                    result
database                no damage
SEGMENT   no damage
""",  # noqa: E501 # lines of a terminal have no limit
    "files of a team": """
$ modelyard add --team red --source training --no-hash models/loras models/copy models/broken.safetensors --json
{
  "found": 3,
  "unchanged": 0,
  "added": 2,
  "part": 0,
  "matched": 0,
  "updated": 0,
  "moved": 0,
  "gone": 0,
  "broken": 1,
  "later": 0,
  "other": 0,
  "merged": 0,
  "pending": 2,
  "skipped": [],
  "refused": [
    {
      "path": "~/models/broken.safetensors",
      "reason": "tensor 'emb_params': ends at 3,072, but only 3,062 bytes follow the header"
    }
  ],
  "duplicates": [],
  "dry_run": false
}
[1]
$ modelyard search
! no model matches
$ modelyard search --team red
        id   name in API          type                base model   version      size   downloads   status        tags
1000000002   night                Lora                SD 1.5       night     28.6 kB           0   unavailable
1000000001   word again           Textual Inversion   SD 1.5       Word       3.2 kB           0   unavailable
1000000000   broken.safetensors   Unknown                          broken     3.1 kB           0   unavailable
$ modelyard add --team red --public models/word.safetensors
files       number
found            1
unchanged        0
added            1
$ modelyard add models/nothing
! modelyard add: models/nothing: there is no such file or folder; nothing was added; see `modelyard add --help`
[2]
$ modelyard add --team red --watch --dry-run models
! modelyard add: --watch and --dry-run contradict each other; see `modelyard add --help`
[2]
$ modelyard search --team red --visibility private
        id   name in API          type                base model   version      size   downloads   status        tags
1000000002   night                Lora                SD 1.5       night     28.6 kB           0   unavailable
1000000001   word again           Textual Inversion   SD 1.5       Word       3.2 kB           0   unavailable
1000000000   broken.safetensors   Unknown                          broken     3.1 kB           0   unavailable
""",
    "import": """
$ modelyard import civitai records.jsonl --dry-run
models                          number
added (dry run)                      2
updated (dry run)                    0
unchanged (dry run)                  0
skipped: no usable file              1
skipped: not JSON                    1
skipped: not a Civitai answer        1
! skipped: records.jsonl:1: model 7, version 79: no usable file: none at all
! skipped: records.jsonl:2: not JSON: JSON is malformed: invalid character (byte 4)
! skipped: records.jsonl:3: not a Civitai answer
$ modelyard import civitai records.jsonl
models                          number
added                                2
updated                              0
unchanged                            0
skipped: no usable file              1
skipped: not JSON                    1
skipped: not a Civitai answer        1
! skipped: records.jsonl:1: model 7, version 79: no usable file: none at all
! skipped: records.jsonl:2: not JSON: JSON is malformed: invalid character (byte 4)
! skipped: records.jsonl:3: not a Civitai answer
$ modelyard import civitai records.jsonl --json
{
  "added": 0,
  "updated": 0,
  "unchanged": 2,
  "joined": 0,
  "skipped": {
    "no usable file": 1,
    "not JSON": 1,
    "not a Civitai answer": 1
  },
  "dry_run": false
}
! skipped: records.jsonl:1: model 7, version 79: no usable file: none at all
! skipped: records.jsonl:2: not JSON: JSON is malformed: invalid character (byte 4)
! skipped: records.jsonl:3: not a Civitai answer
$ modelyard import civitai records.jsonl --limit 5
! modelyard import civitai: --types, --base-model, --query, --nsfw, --limit, --restart and --address need --fetch; see `modelyard import civitai --help`
[2]
$ modelyard import civitai models/README.md
models              number
added                    0
updated                  0
unchanged                0
skipped: not JSON        1
! skipped: models/README.md:1: not JSON: JSON is malformed: invalid character (byte 0)
! modelyard: nothing could be imported
[1]
$ modelyard import civitai
! modelyard import civitai: give paths to read, or --fetch; see `modelyard import civitai --help`
[2]
$ modelyard search harbour
id   name in API            type   base model   version       size   downloads   status      tags
77   harbourLights_v2_770   Lora   SDXL 1.0     v2        228.6 MB       1,234   available   harbour, night, style
78   old_780                Lora   SD 1.5       v1                           0   available   harbour, night, style
$ modelyard search harbour --json
{
  "models": [
    {
      "id": 77,
      "name": "v2",
      "hash_sha256": "ABABABABAB",
      "sd_name": "harbourLights_v2_770.safetensors",
      "type": {
        "name": "lora",
        "display_name": "Lora"
      },
      "categories": [],
      "status": 1,
      "tags": [
        "harbour",
        "night",
        "style"
      ],
      "cover_url": "https://image.civitai.com/77.jpeg",
      "source": "civitai",
      "base_model": "SDXL 1.0",
      "base_model_type": "Standard",
      "download_url_ttl": 86400,
      "sd_name_in_api": "harbourLights_v2_770",
      "is_sdxl": true,
      "is_nsfw": false,
      "visibility": "public"
    },
    {
      "id": 78,
      "name": "v1",
      "hash_sha256": "",
      "sd_name": "old_780.pt",
      "type": {
        "name": "lora",
        "display_name": "Lora"
      },
      "categories": [],
      "status": 1,
      "tags": [
        "harbour",
        "night",
        "style"
      ],
      "cover_url": "",
      "source": "civitai",
      "base_model": "SD 1.5",
      "base_model_type": "",
      "download_url_ttl": 86400,
      "sd_name_in_api": "old_780",
      "is_sdxl": false,
      "is_nsfw": false,
      "visibility": "public"
    }
  ],
  "pagination": {
    "next_cursor": ""
  }
}
$ modelyard explain 77
77  harbourLights_v2_770.safetensors  public, no team, available
fact                value                                                                       said by
name                v2                                                                          upstream
sd_name             harbourLights_v2_770.safetensors                                            upstream
type                Lora                                                                        upstream
base_model          SDXL 1.0                                                                    upstream
base_model_type     Standard                                                                    upstream
is_nsfw             False                                                                       upstream
tags                harbour, night, style                                                       upstream
cover_url           https://image.civitai.com/77.jpeg                                           upstream
rank                1234                                                                        upstream
hashes              autov1 0123ABCD                                                             upstream
                    sha256 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB     upstream
                    crc32 89ABCDEF                                                              upstream
                    autov2 ABABABABAB                                                           upstream
file_name           harbourLights_v2.safetensors                                                upstream
size_bytes          228600000                                                                   upstream
files               harbourLights_v2.safetensors  pruned  fp16  SafeTensor  228,600,000 bytes   upstream
upstream_model_id   7                                                                           upstream
title               Harbour Lights                                                              upstream
description         Made at sea.                                                                upstream
                                                                                                upstream
                    Use it at night.                                                            upstream
creator             ada                                                                         upstream
trigger_words       harbour lights, at dusk                                                     upstream
images              https://image.civitai.com/77.jpeg                                           upstream
published_at        DAYTTIME                                                    upstream
licence             commercial use: image                                                       upstream
$ modelyard explain ABABABABAB
77  harbourLights_v2_770.safetensors  public, no team, available
fact                value                                                                       said by
name                v2                                                                          upstream
sd_name             harbourLights_v2_770.safetensors                                            upstream
type                Lora                                                                        upstream
base_model          SDXL 1.0                                                                    upstream
base_model_type     Standard                                                                    upstream
is_nsfw             False                                                                       upstream
tags                harbour, night, style                                                       upstream
cover_url           https://image.civitai.com/77.jpeg                                           upstream
rank                1234                                                                        upstream
hashes              autov1 0123ABCD                                                             upstream
                    sha256 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB     upstream
                    crc32 89ABCDEF                                                              upstream
                    autov2 ABABABABAB                                                           upstream
file_name           harbourLights_v2.safetensors                                                upstream
size_bytes          228600000                                                                   upstream
files               harbourLights_v2.safetensors  pruned  fp16  SafeTensor  228,600,000 bytes   upstream
upstream_model_id   7                                                                           upstream
title               Harbour Lights                                                              upstream
description         Made at sea.                                                                upstream
                                                                                                upstream
                    Use it at night.                                                            upstream
creator             ada                                                                         upstream
trigger_words       harbour lights, at dusk                                                     upstream
images              https://image.civitai.com/77.jpeg                                           upstream
published_at        DAYTTIME                                                    upstream
licence             commercial use: image                                                       upstream
$ modelyard add models/word.safetensors
files       number
found            1
unchanged        0
added            1
$ modelyard explain v1
78  old_780.pt  public, no team, available
fact                value                   said by
name                v1                      upstream
sd_name             old_780.pt              upstream
type                Lora                    upstream
base_model          SD 1.5                  upstream
is_nsfw             False                   upstream
tags                harbour, night, style   upstream
cover_url                                   upstream
file_name           old.pt                  upstream
files               old.pt                  upstream
upstream_model_id   7                       upstream
title               Harbour Lights          upstream
description         Made at sea.            upstream
                                            upstream
                    Use it at night.        upstream
creator             ada                     upstream
licence             commercial use: image   upstream
$ modelyard explain harbour
! modelyard: no model 'harbour'
[1]
""",  # noqa: E501 # lines of a terminal have no limit
    "keys": """
$ modelyard key list
! there are no keys; `modelyard key create` makes one
$ modelyard key create --team red
sk_KEY
! key 1 of team red: read, write. It is shown only once:
$ modelyard key create --team blue --scope read --scope write,admin --expires 90d
sk_KEY
! key 2 of team blue: admin, read, write, expires DAY TIME UTC. It is shown only once:
$ modelyard key create --team red --scope read --json
{
  "key": "sk_KEY",
  "id": 3,
  "team": "red",
  "scopes": [
    "read"
  ],
  "created_at": SECONDS,
  "expires_at": null,
  "revoked_at": null,
  "last_used_at": null,
  "hint": "sk_KEY",
  "name": "",
  "purpose": "",
  "provider": "",
  "replaced_by": null
}
$ modelyard key create --team red --expires 0s
! modelyard key create: Invalid value for --expires: a key must be valid for a time; accepted: 1s or more; see `modelyard key create --help`
[2]
$ modelyard key create --team red --scope fly
! modelyard key create: Invalid value for '--scope': 'fly' is not accepted; accepted, separated by commas: read, write, admin, download; see `modelyard key create --help`
[2]
$ modelyard key create --team "a b"
! modelyard: --team: 'a b' is not accepted; accepted: up to 63 of a-z, 0-9, '-', '_', beginning with a-z or 0-9
[2]
$ modelyard key list
id   key        name   team   scopes             created            expires            revoked   last used
 1   sk_KEY          red    read write         DAY TIME
 2   sk_KEY          blue   admin read write   DAY TIME   DAY TIME
 3   sk_KEY          red    read               DAY TIME
$ modelyard key list --team blue --json
[
  {
    "id": 2,
    "team": "blue",
    "scopes": [
      "admin",
      "read",
      "write"
    ],
    "created_at": SECONDS,
    "expires_at": SECONDS,
    "revoked_at": null,
    "last_used_at": null,
    "hint": "sk_KEY",
    "name": "",
    "purpose": "",
    "provider": "",
    "replaced_by": null
  }
]
$ modelyard key revoke 1
! revoked key 1 (sk_KEY) of team red
$ modelyard key revoke 1
! revoked key 1 (sk_KEY) of team red
$ modelyard key revoke 9
! modelyard: no key '9'; accepted: an id, the beginning that `modelyard key list` shows (4 to 7 characters), or the whole key
[1]
$ modelyard key revoke 3 --json
{
  "id": 3,
  "team": "red",
  "scopes": [
    "read"
  ],
  "created_at": SECONDS,
  "expires_at": null,
  "revoked_at": SECONDS,
  "last_used_at": null,
  "hint": "sk_KEY",
  "name": "",
  "purpose": "",
  "provider": "",
  "replaced_by": null
}
$ modelyard key rotate 1
! modelyard: key 1 was revoked or has expired; make one with `modelyard key create`
[1]
$ modelyard key restore 1
! modelyard: 1 is no person; accepted: an id that `modelyard key list` shows with (proxy) or (oidc)
[1]
$ modelyard key list --team red
id   key        name   team   scopes       created            expires   revoked            last used
 1   sk_KEY          red    read write   DAY TIME             DAY TIME
 3   sk_KEY          red    read         DAY TIME             DAY TIME
$ modelyard signing-key rotate
! new links use key 1; older links end at DAY TIME UTC
$ modelyard signing-key rotate --overlap 7d --json
{
  "signing_key": 2,
  "others_end_at": SECONDS
}
""",  # noqa: E501 # lines of a terminal have no limit
    "jobs": """
$ modelyard jobs
id   kind       subject   team   state       for       attempts   last run           next               failure
 3   check      three            running     2:00:SS          1                      DAY TIME
 4   check      four             waiting     2:00:SS          0                      DAY TIME
 2   check      two              waiting     2:00:SS          1                      DAY TIME   storage is away
 5   cleanup                     scheduled                    0   DAY TIME   DAY TIME
 1   check      one       red    dead        1:59:SS          1                                         cannot be read
 6   matching                    dead                         0   DAY TIME
$ modelyard jobs --json
[
  {
    "id": 3,
    "kind": "check",
    "subject": "three",
    "state": "running",
    "attempts": 1,
    "owner": "node",
    "run_at": SECONDS,
    "failure": "",
    "team": "",
    "seconds": 72SS,
    "last_run_at": null,
    "last_failure_at": null
  },
  {
    "id": 4,
    "kind": "check",
    "subject": "four",
    "state": "waiting",
    "attempts": 0,
    "owner": null,
    "run_at": SECONDS,
    "failure": "",
    "team": "",
    "seconds": 72SS,
    "last_run_at": null,
    "last_failure_at": null
  },
  {
    "id": 2,
    "kind": "check",
    "subject": "two",
    "state": "waiting",
    "attempts": 1,
    "owner": null,
    "run_at": SECONDS,
    "failure": "storage is away",
    "team": "",
    "seconds": 72SS,
    "last_run_at": null,
    "last_failure_at": SECONDS
  },
  {
    "id": 5,
    "kind": "cleanup",
    "subject": "",
    "state": "scheduled",
    "attempts": 0,
    "owner": null,
    "run_at": SECONDS,
    "failure": "",
    "team": "",
    "seconds": null,
    "last_run_at": SECONDS,
    "last_failure_at": null
  },
  {
    "id": 1,
    "kind": "check",
    "subject": "one",
    "state": "dead",
    "attempts": 1,
    "owner": null,
    "run_at": null,
    "failure": "cannot be read",
    "team": "red",
    "seconds": 71SS,
    "last_run_at": null,
    "last_failure_at": SECONDS
  },
  {
    "id": 6,
    "kind": "matching",
    "subject": "",
    "state": "dead",
    "attempts": 0,
    "owner": null,
    "run_at": null,
    "failure": "",
    "team": "",
    "seconds": null,
    "last_run_at": SECONDS,
    "last_failure_at": null
  }
]
$ modelyard jobs retry
! modelyard jobs retry: give the ids of jobs, or --all; see `modelyard jobs retry --help`
[2]
$ modelyard jobs retry 1 --all
! modelyard jobs retry: give the ids of jobs, or --all; see `modelyard jobs retry --help`
[2]
$ modelyard jobs retry 4 17 18
! modelyard: there are no jobs 17, 18
[1]
$ modelyard jobs retry 4 1
! 2 jobs will run again
$ modelyard jobs retry --all
! 1 job will run again
$ modelyard jobs
id   kind       subject   team   state       for       attempts   last run           next               failure
 3   check      three            running     2:00:SS          1                      DAY TIME
 1   check      one       red    waiting     2:00:SS          0                      DAY TIME   cannot be read
 4   check      four             waiting     2:00:SS          0                      DAY TIME
 6   matching                    scheduled                    0   DAY TIME   when needed
 2   check      two              waiting     2:00:SS          1                      DAY TIME   storage is away
 5   cleanup                     scheduled                    0   DAY TIME   DAY TIME
""",
    "copies": """
$ modelyard add --no-hash models/word.safetensors
files       number
found            1
unchanged        0
added            1
! 1 files are not hashed yet; `modelyard serve` or another add hashes them
$ modelyard gc
! 0 files, 0 bytes removed
$ modelyard gc --dry-run --json
[]
$ modelyard backup copy.backup
! backed up to copy.backup
$ modelyard backup copy.backup
! modelyard: copy.backup is there already; name a file that is not
[1]
$ modelyard backup whole --with-files
! the target has all 0 files; 0 of them were copied now
! backed up to whole
$ modelyard backup whole --with-files
! modelyard: cannot create whole: File exists
[1]
$ modelyard restore copy.backup
! modelyard: ~/home/modelyard.sqlite is there already; --force replaces it
[1]
$ modelyard restore copy.backup --force
! restored from copy.backup
$ modelyard restore whole --force
! the target has all 0 files; 0 of them were copied now
! restored from whole
$ modelyard database copy --to sqlite:///other.sqlite --blobs-to other-files
! copied and compared 1 models, N rows
! the target has all 0 files; 0 of them were copied now
$ modelyard database copy --to sqlite:///other.sqlite --blobs-to other-files
! copied and compared 1 models, N rows
! the target has all 0 files; 0 of them were copied now
$ modelyard database copy-files --to other-files
! the target has all 0 files; 0 of them were copied now
$ modelyard database copy --from sqlite:///other.sqlite --to sqlite:///other.sqlite
! modelyard: both are the same database
[1]
$ modelyard verify
part       result
database   no damage
! the index on disk is not used: it is of another database; the running server or the next start builds it again
""",
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_session_prints_exactly_this(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    if name == "jobs":
        add_jobs(folder)

    assert TRANSCRIPTS[name].strip() == replay(TRANSCRIPTS[name], folder, capsys)
