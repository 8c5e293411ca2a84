"""What archives declare of their models' tensors, in the files of several servers, and the layouts of these servers."""
