greeting greeting.mar 1.0
greeting greeting-2.mar 2.0
echo_model animals digits
touch kitten.jpg
serve greeting.mar greeting-2.mar animals.mar digits.mar
