"""Several server processes on one socket, watched and started anew."""

from foundation.extensions import Extension

extension = Extension(
    about="Several server processes on one socket, watched and started anew.",
    settings="extensions.workers.settings:WorkersSettings",
    plug="extensions.workers.plug:plug",
    serve="extensions.workers.supervisor:serve",
)
