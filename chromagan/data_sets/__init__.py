"""What a data set is: a folder of images or of Parquet files, or a dataset of the Hub."""
