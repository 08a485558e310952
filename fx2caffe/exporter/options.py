"""ExportOptions: every choice of the caller of export, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caffe2fx.errors import CaffeError
from fx2caffe.lowering.integer_magnitudes import Ranges
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.targets import Target


@dataclass(frozen=True)
class ExportOptions:
    """Holds the options of export, named as there. Raises CaffeError for an invalid one."""

    target: Target
    outputs: Sequence[str] | None = None
    preprocessing: Preprocessing | Mapping[str, Preprocessing] | None = None
    fold_batchnorm: bool = True
    input_names: Sequence[str] | None = None
    name_limit: int | None = None
    name_alphabet: str | None = None
    on_unsupported: str = "refuse"
    input_ranges: Ranges | None = None

    def __post_init__(self) -> None:
        if self.on_unsupported not in ("refuse", "custom"):
            got = self.on_unsupported
            raise CaffeError(f"on_unsupported needs to be refuse or custom, got {got!r}")
        if self.outputs is not None and (isinstance(self.outputs, str) or not self.outputs):
            raise CaffeError(f"outputs needs a list of one name or more, got {self.outputs!r}")

    @property
    def placeholders(self) -> bool:
        """Return whether refused operations go out as the target's placeholder."""
        return self.on_unsupported == "custom"

    def preprocessing_of(self, inputs: Sequence[str]) -> dict[str, Preprocessing]:
        """Return the preprocessing by input blob. Raises CaffeError for one with many inputs."""
        if not isinstance(self.preprocessing, Preprocessing):
            return dict(self.preprocessing or {})
        if len(inputs) != 1:
            needed = f"needs a dict by input for {list(inputs)}"
            raise CaffeError(f"preprocessing {needed}, got {self.preprocessing}")
        return {inputs[0]: self.preprocessing}
