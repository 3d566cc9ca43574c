"""Data sets: a folder of images or of Parquet files, or a dataset on the Hub."""
