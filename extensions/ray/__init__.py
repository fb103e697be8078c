"""Documents prepared, and replicas run, on the machines of a Ray cluster."""

from foundation.extensions import Extension

extension = Extension(
    about="Documents prepared, and replicas run, on the machines of a Ray cluster.",
    requires=("workers",),
    extra="ray",
    settings="extensions.ray.settings:RaySettings",
    plug="extensions.ray.plug:plug",
    serve="extensions.ray.replicas:serve",
)
