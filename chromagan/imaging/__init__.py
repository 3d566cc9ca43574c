"""Color spaces, chroma upsampling and photo files: pixels in, pixels out. Imports nothing else of this package."""
