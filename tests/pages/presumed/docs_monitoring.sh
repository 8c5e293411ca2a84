mkdir -p /var/log/models
echo_model iris
serve
