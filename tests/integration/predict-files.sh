#!/bin/sh
# predict-files - the pictures that a command line names: those that can be read are answered, the others named, exit 1; names of
# classes are the model's; sheets are what their name says.
. tests/support/commands.sh
cd "$WORK"
unset BATCHD_SOCKET
pictures train/cat/1.png train/cat/2.png train/dog/1.png in/ok.png odd/ok.png
echo 'shards: {folder: train}
features:
  image: {type: image, resize: {height: 4, width: 4}, scale: 0.004}
  label: {type: int64}' >d.yaml
echo 'input: {height: 4, width: 4, channels: 3}
layers: [flatten, {type: dense, units: 1, activation: sigmoid}]
loss: binary_crossentropy' >model.yaml
expect 0 "$bin/batchtrain" train model.yaml --data d.yaml --model-dir m --batch 3 --steps 30 --quiet
predict() {
	status=$1
	shift
	expect "$status" "$bin/batchtrain" predict --model-dir m "$@"
}

# One bad path of several.
answered() { # answered BAD-PATH-AS-SHOWN: in/ok.png or odd/ok.png is answered, this one named
	holds out 'ok.png: cat 0.'
	holds err "$1" '1 of 2 pictures were answered; the others cannot be read'
}
printf 'no picture' >in/broken.png
predict 1 in/ok.png in/broken.png
answered 'in/broken.png: '
predict 1 in/ok.png in/gone.png
answered 'in/gone.png: No such file or directory'
ln -s nowhere odd/dangling.png
predict 1 odd
answered 'odd/dangling.png: No such file or directory'
rm odd/dangling.png
cp in/ok.png "$(printf 'odd/caf\351.png')"
predict 1 odd
answered 'odd/caf\xe9.png: its name is no UTF-8'
if [ "$(id -u)" != 0 ]; then
	cp in/ok.png in/closed.png
	chmod 0 in/closed.png
	predict 1 in/ok.png in/closed.png
	answered 'in/closed.png: Permission denied'
fi
predict 1 in/gone.png in/away.png
holds err 'none of the 2 paths can be read'

# A list as Windows writes it.
printf 'in/ok.png\r\ntrain/dog/1.png\r\n' >list
status=0
"$bin/batchtrain" predict --model-dir m - <list >out 2>err || status=$?
[ $status = 0 ] || fail "a list with CR LF: status $status: $(cat err)"
[ "$(wc -l <out)" = 2 ] || fail "a list with CR LF: $(cat out)"

# --like says how pictures are made, the model how its classes are called.
sed 's/, scale: 0.004/, scale: 0.004, channels: rgb/' d.yaml >like.yaml
echo 'classes: [x, y]' >>like.yaml
sed -i 's/{folder: train}/{files: [in\/ok.png]}/' like.yaml
predict 0 --like like.yaml in/ok.png
holds out 'in/ok.png: cat 0.'

# Sheets.
predict 0 in/ok.png --sheet s.png
predict 0 in/ok.png --sheet s.JPG
[ "$(head -c 4 s.png | tr -d '\211')" = PNG ] || fail "s.png is no PNG"
[ "$(head -c 3 s.JPG | od -An -tx1 | tr -d ' ')" = ffd8ff ] || fail "s.JPG is no JPEG"
predict 2 in/ok.png --sheet s.gif
holds err 's.gif' '.png or .jpg'

# A CSV with a heading line.
printf 'filename,class\ntrain/cat/1.png,cat\ntrain/dog/1.png,dog\n' >list.csv
expect 0 "$bin/tfrecord" convert list.csv --resize 4x4 --shards 1 --output o
holds err 'the first line of the list is a heading'
holds o.yaml 'classes: ["cat", "dog"]'
cp in/ok.png filename
expect 0 "$bin/tfrecord" convert list.csv --resize 4x4 --shards 1 --output o --force
holds o.yaml 'classes: ["cat", "class", "dog"]' # there is such a file: a picture like others
exit $failed
