"""What recognises words in pictures, one file each; extensions bring more."""
