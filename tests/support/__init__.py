"""What tests of all folders share: servers, their clients and processes, keys, waits, fakes of the front's parts."""
