"""``python -m tests.support.other_version CHANGE,… verb …``: the command line of another version of the product.

Where CHANGE is the name of a read model it has no such one, and where it is ``name=version`` it has that one of another version.
Nothing has looked at the list of read models yet when it is changed.
"""

from __future__ import annotations

import sys

from projections import registry


def main() -> None:
    _, changes, *arguments = sys.argv
    for change in changes.split(","):
        name, _, version = change.partition("=")
        (model,) = (model for model in registry.READ_MODELS if model.name == name)
        if version:
            model.version = int(version)
        else:
            registry.READ_MODELS = tuple(each for each in registry.READ_MODELS if each is not model)
    from app.cli.main import main as verb

    sys.argv = ["opportunities", *arguments]
    verb()


if __name__ == "__main__":
    main()
