from typing import Any

from absl.flags import FlagHolder

def DEFINE_config_file(name: str, default: str | None = ..., help_string: str = ..., **options: Any) -> FlagHolder[Any]: ...
