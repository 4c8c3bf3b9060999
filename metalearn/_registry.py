"""Things that a user asks for by name: pools, backbones, distances, heads."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The sentence that says a name is not known, and lists those that are, closest first."""
    known = list(known)
    close = get_close_matches(str(name), known, n=len(known), cutoff=0.0)
    listed = close[:8] + (["..."] if len(close) > 8 else [])
    return f"unknown {kind} {name!r}; known, closest first: {', '.join(listed)}"


class Registry(Mapping[str, Callable]):
    """Makers by name; asking for an unknown name lists the known ones, closest first."""

    def __init__(self, kind: str, **makers: Callable):
        self.kind = kind
        self.makers = makers

    def __getitem__(self, name: str) -> Callable:
        if name not in self.makers:
            raise ValueError(unknown(self.kind, name, self.makers))
        return self.makers[name]

    def __contains__(self, name: object) -> bool:
        return name in self.makers

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)
