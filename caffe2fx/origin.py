"""Origin: the module path and the source line of a step, node or error."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Holds the position in the user's own files of a step, node or error.

    `module` is the path of the nn.Module whose forward ran ("layer1.0"; empty for the root), `file`
    and `line` are the innermost frame outside torch and these packages (or the line of a prototxt),
    and `source` is the text of that line. `rules` are the rewrite rules that made a layer out of
    one that the target does not have, the outermost first.
    """

    module: str = ""
    file: str = ""
    line: int = 0
    source: str = ""
    rules: tuple[str, ...] = ()

    def __str__(self) -> str:
        position = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{position}: {self.source}" if self.source else position
        parts = (f"in {self.module}" if self.module else "", text)
        return ", ".join(filter(None, parts)) or "unknown position"
