greeting greeting.mar 1.0
greeting greeting-2.mar 2.0
serve

the_first_version_again() {
    mms models unregister greeting
    mms models register greeting.mar
}
