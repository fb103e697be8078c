"""Redis or Valkey counts the quotas of several processes and machines, and keeps the answers that they share."""

from foundation.extensions import Extension

extension = Extension(
    about="Redis or Valkey counts the quotas of several processes and machines, and keeps the answers that they share.",
    extra="redis",
    parts=(("serving.cache/redis", "extensions.redis.cache"),),
)
