"""Documents that stand elsewhere and change there, with their rights: folders, git, mailboxes and S3 storage, kept in step."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="Documents that stand elsewhere and change there, with their rights: folders, git, mailboxes and S3 storage, kept in step.",
    extra="sources",
    settings="extensions.sources.settings:SourcesSettings",
    stores="extensions.sources.state:STORES",
    commands=(
        Command(
            name="sync",
            group="Documents",
            about="Take in what changed in the sources, and take out what is gone.",
            call="extensions.sources.command:sync",
        ),
    ),
    plug="extensions.sources.plug:plug",
)
