"""Where `make update` of every project starts the template's renderer, also of those made before it moved to where it is now."""

import runpy

if __name__ == "__main__":
    runpy.run_module("lab.project.render", run_name="__main__")
