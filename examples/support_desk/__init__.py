"""The demo world: the support desk of the fictional Quillmark Devices."""
