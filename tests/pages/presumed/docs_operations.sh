echo_model squeezenet
touch image.jpg
serve squeezenet.mar
