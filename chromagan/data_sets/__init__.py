"""Data sets on the Hub, in Parquet files and in folders: what data.py reads photos from. Imports imaging."""
