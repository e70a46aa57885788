# bash completion for btget; what options there are, it asks `btget --help`.

_btget()
{
	local btget=$1 word=$2 before=$3 verb=get words=() files=() help

	# "=" is a word of its own to bash, in --option=VALUE.
	if [[ $word == = ]]; then
		word=
	elif [[ $before == = ]]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	# As it was written: nobody has expanded it.
	[[ $btget != "~/"* ]] || btget=$HOME/${btget#"~/"}
	case ${COMP_WORDS[1]} in
	create | show | check | tracker) verb=${COMP_WORDS[1]} ;;
	esac

	case $before in
	--progress) words=(auto bar plain json none) ;;
	--allocation) words=(none sparse full) ;;
	--encryption) words=(prefer require off) ;;
	-i | --interface) words=(/sys/class/net/*) ;;
	-d | --dir | --watch) files=(-d) ;;
	-l | --log | --blocklist | --config | --allow | -o | --output)
		files=(-f)
		;;
	*)
		help=$("$btget" "$verb" --help 2> /dev/null)
		if [[ $word == -* ]]; then
			mapfile -t words < <(
				grep -oE '^ +(-., )? *--[a-z0-9-]+' <<< "$help" |
					grep -oE -- '--.*'
			)
		elif [[ $before == -* ]] && grep -qE -- \
			"^ +(-., )?($before|$before, --[^ ]+) [A-Z]" <<< "$help"; then
			: # the value of another option: a number, a name, a URL
		else
			files=(-f)
			[[ $verb == create ]] ||
				files=(-f -X '!*.@(torrent|magnet)' -o plusdirs)
			((COMP_CWORD > 1)) ||
				words=(get create show check tracker)
		fi
		;;
	esac

	mapfile -t COMPREPLY < <(
		shopt -s extglob # for the pattern above
		compgen -W "${words[*]##*/}" -- "$word"
		((${#files[@]} == 0)) || compgen "${files[@]}" -- "$word"
	)
	# Names are quoted as it takes; words need no quotes.
	compopt -o filenames 2> /dev/null
}

complete -F _btget btget
