"""Entry point of the template's renderer for `make update`, also for projects made before the renderer moved."""

import runpy

if __name__ == "__main__":
    runpy.run_module("lab.project.render", run_name="__main__")
