"""What an attack is: a function that makes a file (in memory, or on disk if it is large), and what it deserves."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Maker = Callable[[], bytes] | Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Attack:
    """A file to be judged. ``says`` are words of the reason; ``name`` is what the file pretends to be."""

    title: str
    make: Maker
    verdict: str
    says: str
    name: str
    sparse: bool = False
    # More than a megabyte of bytes: not for fuzzing.
    large: bool = False

    def write(self, folder: Path) -> Path:
        """Make the file in ``folder``."""
        path = folder / self.name
        if self.sparse:
            self.make(path)  # type: ignore[call-arg]  # a sparse file's maker takes the path
        else:
            path.write_bytes(self.make())  # type: ignore[call-arg,arg-type]  # every other maker returns the bytes
        return path


ATTACKS: dict[str, Attack] = {}


def attack(
    verdict: str, says: str = "", name: str = "model.safetensors", sparse: bool = False, large: bool = False
) -> Callable[[Maker], Maker]:
    """Enter a maker into the list under its own name."""

    def enter(make: Maker) -> Maker:
        title = make.__name__
        assert title not in ATTACKS, f"two attacks are called {title}"
        ATTACKS[title] = Attack(title, make, verdict, says, name, sparse, large)
        return make

    return enter
