component iris
echo "grpc_address=grpc://127.0.0.1:5000" >> "$MMS_CONFIG_FILE"
serve iris.mar
