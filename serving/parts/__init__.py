"""Every port with its adapters: listed, tested, and written anew."""
