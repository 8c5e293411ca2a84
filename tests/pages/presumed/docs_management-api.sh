greeting greeting.mar 1.0
greeting greeting-2.mar 2.0
serve

only_the_default_version() {
    curl -X DELETE http://127.0.0.1:8081/models/greeting/2.0
}

