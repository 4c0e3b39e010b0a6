"""Pictures of quantized adversarial images: python scripts/pictures.py FILE.png dataset=mnist ..."""

import sys
from pathlib import Path

from hydra import compose, initialize_config_dir

from vqexp.core.config import CONF, CONFIG_FAULTS, config_message, register_resolvers
from vqexp.core.errors import WorkError
from vqexp.reports.render.pictures import draw_pictures

if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1].endswith(".png"):
        sys.exit(__doc__)
    register_resolvers()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            draw_pictures(compose("config", overrides=sys.argv[2:]), Path(sys.argv[1]))
    except CONFIG_FAULTS as error:
        print(f"vqexp: {config_message(error)}", file=sys.stderr)
        sys.exit(2)
    except (WorkError, OSError) as error:
        sys.exit(f"vqexp: {error}")
